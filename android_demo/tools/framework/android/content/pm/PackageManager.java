package android.content.pm;

import android.util.AndroidException;

public abstract class PackageManager {
    public PackageManager() {
        throw new RuntimeException();
    }

    public abstract PackageInfo getPackageInfo(String p0, int p1) throws PackageManager.NameNotFoundException;

    public static class NameNotFoundException extends AndroidException {
        public NameNotFoundException() {
            throw new RuntimeException();
        }

        public NameNotFoundException(String p0) {
            throw new RuntimeException();
        }
    }
}
