package android.content.res;

import android.os.Parcelable;

public final class Configuration implements Parcelable, Comparable<Configuration> {
    public float fontScale;
    public int screenHeightDp;
    public int screenWidthDp;

    public Configuration() {
        throw new RuntimeException();
    }

    public int compareTo(Configuration p0) {
        throw new RuntimeException();
    }
}
