package android.widget;

import android.content.Context;
import android.graphics.drawable.Drawable;
import android.util.AttributeSet;
import android.view.View;
import android.view.ViewGroup;

public class Toolbar extends ViewGroup {
    public Toolbar(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    public void setNavigationIcon(Drawable p0) {
        throw new RuntimeException();
    }

    public Drawable getNavigationIcon() {
        throw new RuntimeException();
    }

    public void setNavigationOnClickListener(View.OnClickListener p0) {
        throw new RuntimeException();
    }

    protected void onLayout(boolean p0, int p1, int p2, int p3, int p4) {
        throw new RuntimeException();
    }
}
