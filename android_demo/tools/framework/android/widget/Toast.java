package android.widget;

import android.content.Context;
import android.content.res.Resources;

public class Toast {
    public static final int LENGTH_LONG = 1;

    Toast() {
        throw new RuntimeException();
    }

    public void show() {
        throw new RuntimeException();
    }

    public static Toast makeText(Context p0, int p1, int p2) throws Resources.NotFoundException {
        throw new RuntimeException();
    }
}
