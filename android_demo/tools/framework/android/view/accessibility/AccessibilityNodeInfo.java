package android.view.accessibility;

import android.os.Parcelable;

public class AccessibilityNodeInfo implements Parcelable {
    public static final int ACTION_CLICK = 16;

    AccessibilityNodeInfo() {
        throw new RuntimeException();
    }

    public void addAction(AccessibilityNodeInfo.AccessibilityAction p0) {
        throw new RuntimeException();
    }

    public static final class AccessibilityAction {
        public AccessibilityAction(int p0, CharSequence p1) {
            throw new RuntimeException();
        }
    }
}
