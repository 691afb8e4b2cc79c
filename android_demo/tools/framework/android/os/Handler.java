package android.os;

public class Handler {
    public Handler(Looper p0) {
        throw new RuntimeException();
    }

    public final boolean post(Runnable p0) {
        throw new RuntimeException();
    }
}
