package android.widget;

import android.content.Context;
import android.util.AttributeSet;

public class ScrollView extends FrameLayout {
    public ScrollView(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }
}
