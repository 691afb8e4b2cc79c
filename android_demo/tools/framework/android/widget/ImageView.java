package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;

public class ImageView extends View {
    public ImageView(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    public void setImageResource(int p0) {
        throw new RuntimeException();
    }
}
