package android.view;

import android.content.Context;

public class MenuInflater {
    public MenuInflater(Context p0) {
        throw new RuntimeException();
    }

    public void inflate(int p0, Menu p1) {
        throw new RuntimeException();
    }
}
