package android.content.pm;

import android.os.Parcelable;

public class PackageInfo implements Parcelable {
    public long lastUpdateTime;
    public String versionName;

    public PackageInfo() {
        throw new RuntimeException();
    }
}
