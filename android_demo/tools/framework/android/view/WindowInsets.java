package android.view;

import android.graphics.Insets;

public final class WindowInsets {
    /** From API 30 on. */
    public static final WindowInsets CONSUMED = null;

    WindowInsets() {
        throw new RuntimeException();
    }

    /** From API 30 on. */
    public Insets getInsets(int typeMask) {
        throw new RuntimeException();
    }

    /** From API 30 on. */
    public static final class Type {
        Type() {
            throw new RuntimeException();
        }

        public static int systemBars() {
            throw new RuntimeException();
        }

        public static int displayCutout() {
            throw new RuntimeException();
        }

        public static int ime() {
            throw new RuntimeException();
        }
    }
}
