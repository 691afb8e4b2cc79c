package android.os;

public class Process {
    public static final int THREAD_PRIORITY_DEFAULT = 0;

    public Process() {
        throw new RuntimeException();
    }

    public static final void setThreadPriority(int p0) {
        throw new RuntimeException();
    }
}
