package android.system;

public final class ErrnoException extends Exception {
    public ErrnoException(String p0, int p1) {
        throw new RuntimeException();
    }
}
