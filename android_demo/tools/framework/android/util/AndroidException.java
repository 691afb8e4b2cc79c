package android.util;

public class AndroidException extends Exception {
    public AndroidException() {
        throw new RuntimeException();
    }

    public AndroidException(String p0) {
        throw new RuntimeException();
    }

    public AndroidException(String p0, Throwable p1) {
        throw new RuntimeException();
    }

    public AndroidException(Exception p0) {
        throw new RuntimeException();
    }
}
