package android.widget;

import android.content.Context;
import android.util.AttributeSet;

public abstract class AbsSpinner extends AdapterView<SpinnerAdapter> {
    public AbsSpinner(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    public void setAdapter(SpinnerAdapter p0) {
        throw new RuntimeException();
    }

    public void setSelection(int p0) {
        throw new RuntimeException();
    }

    public SpinnerAdapter getAdapter() {
        throw new RuntimeException();
    }
}
