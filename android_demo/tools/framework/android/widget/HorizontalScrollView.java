package android.widget;

import android.content.Context;
import android.util.AttributeSet;

public class HorizontalScrollView extends FrameLayout {
    public HorizontalScrollView(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }
}
