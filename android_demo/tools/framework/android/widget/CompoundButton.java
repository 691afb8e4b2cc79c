package android.widget;

import android.content.Context;
import android.util.AttributeSet;

public abstract class CompoundButton extends Button {
    public CompoundButton(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    public boolean isChecked() {
        throw new RuntimeException();
    }

    public void setChecked(boolean p0) {
        throw new RuntimeException();
    }
}
