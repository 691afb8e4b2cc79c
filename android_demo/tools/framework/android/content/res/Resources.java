package android.content.res;

import android.util.DisplayMetrics;

public class Resources {
    Resources() {
        throw new RuntimeException();
    }

    public String getString(int p0, Object... p1) throws Resources.NotFoundException {
        throw new RuntimeException();
    }

    public String getQuantityString(int p0, int p1, Object... p2) throws Resources.NotFoundException {
        throw new RuntimeException();
    }

    public DisplayMetrics getDisplayMetrics() {
        throw new RuntimeException();
    }

    public Configuration getConfiguration() {
        throw new RuntimeException();
    }

    public static class NotFoundException extends RuntimeException {
        public NotFoundException() {
            throw new RuntimeException();
        }
    }
}
