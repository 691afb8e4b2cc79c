package android.view;

import android.content.Context;

public abstract class Window {
    public Window(Context context) {
        throw new RuntimeException();
    }

    /** From API 30 on. */
    public void setDecorFitsSystemWindows(boolean decorFitsSystemWindows) {
        throw new RuntimeException();
    }
}
