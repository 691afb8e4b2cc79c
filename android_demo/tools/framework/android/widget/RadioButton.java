package android.widget;

import android.content.Context;
import android.util.AttributeSet;

public class RadioButton extends CompoundButton {
    public RadioButton(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }
}
