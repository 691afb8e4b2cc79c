package android.system;

public final class Os {
    Os() {
        throw new RuntimeException();
    }

    public static void setenv(String p0, String p1, boolean p2) throws ErrnoException {
        throw new RuntimeException();
    }
}
