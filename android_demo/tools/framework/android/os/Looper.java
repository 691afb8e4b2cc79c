package android.os;

public final class Looper {
    Looper() {
        throw new RuntimeException();
    }

    public static Looper getMainLooper() {
        throw new RuntimeException();
    }
}
