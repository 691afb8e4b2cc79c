package android.os;

public class Process {
    public static void setThreadPriority(int priority) {}
}
