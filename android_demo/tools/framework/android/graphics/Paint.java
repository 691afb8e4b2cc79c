package android.graphics;

public class Paint {
    public static final int ANTI_ALIAS_FLAG = 1;

    public Paint(int p0) {
        throw new RuntimeException();
    }

    public int getColor() {
        throw new RuntimeException();
    }

    public void setColor(int p0) {
        throw new RuntimeException();
    }
}
