package android.view;

import android.content.Context;

public abstract class LayoutInflater {
    LayoutInflater() {
        throw new RuntimeException();
    }

    public static LayoutInflater from(Context p0) {
        throw new RuntimeException();
    }

    public View inflate(int p0, ViewGroup p1, boolean p2) {
        throw new RuntimeException();
    }
}
