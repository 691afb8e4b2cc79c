package android.content;

public interface ComponentCallbacks2 extends ComponentCallbacks {
    public static final int TRIM_MEMORY_RUNNING_LOW = 10;

    void onTrimMemory(int p0);
}
