package android.widget;

import android.content.Context;
import android.text.TextWatcher;
import android.util.AttributeSet;
import android.view.View;

public class TextView extends View {
    public TextView(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    public CharSequence getText() {
        throw new RuntimeException();
    }

    public void setTextColor(int p0) {
        throw new RuntimeException();
    }

    public final void setText(CharSequence p0) {
        throw new RuntimeException();
    }

    public void addTextChangedListener(TextWatcher p0) {
        throw new RuntimeException();
    }
}
