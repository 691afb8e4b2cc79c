package android.content;

import android.net.Uri;
import android.os.Parcelable;

public class Intent implements Parcelable, Cloneable {
    public static final String ACTION_OPEN_DOCUMENT = "android.intent.action.OPEN_DOCUMENT";
    public static final String ACTION_OPEN_DOCUMENT_TREE = "android.intent.action.OPEN_DOCUMENT_TREE";
    public static final String CATEGORY_OPENABLE = "android.intent.category.OPENABLE";
    public static final String EXTRA_MIME_TYPES = "android.intent.extra.MIME_TYPES";

    public Intent(String p0) {
        throw new RuntimeException();
    }

    public Intent(Context p0, Class<?> p1) {
        throw new RuntimeException();
    }

    public Uri getData() {
        throw new RuntimeException();
    }

    public Intent setType(String p0) {
        throw new RuntimeException();
    }

    public Intent addCategory(String p0) {
        throw new RuntimeException();
    }

    public Intent putExtra(String p0, String[] p1) {
        throw new RuntimeException();
    }
}
