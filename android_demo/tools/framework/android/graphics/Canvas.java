package android.graphics;

public class Canvas {
    public Canvas() {
        throw new RuntimeException();
    }

    public void drawRoundRect(float p0, float p1, float p2, float p3, float p4, float p5, Paint p6) {
        throw new RuntimeException();
    }
}
