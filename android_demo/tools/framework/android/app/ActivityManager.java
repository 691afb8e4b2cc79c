package android.app;

import android.os.Parcelable;

public class ActivityManager {
    ActivityManager() {
        throw new RuntimeException();
    }

    public void getMemoryInfo(ActivityManager.MemoryInfo p0) {
        throw new RuntimeException();
    }

    public static class MemoryInfo implements Parcelable {
        public long availMem;

        public MemoryInfo() {
            throw new RuntimeException();
        }
    }
}
