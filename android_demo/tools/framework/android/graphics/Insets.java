package android.graphics;

/** From API 29 on. */
public final class Insets {
    public final int left;
    public final int top;
    public final int right;
    public final int bottom;

    Insets() {
        throw new RuntimeException();
    }
}
