package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.ViewGroup;

public class FrameLayout extends ViewGroup {
    public FrameLayout(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    protected void onLayout(boolean p0, int p1, int p2, int p3, int p4) {
        throw new RuntimeException();
    }
}
