package android.widget;

import android.content.Context;
import android.content.DialogInterface;
import android.util.AttributeSet;

public class Spinner extends AbsSpinner implements DialogInterface.OnClickListener {
    public Spinner(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    public void setAdapter(SpinnerAdapter p0) {
        throw new RuntimeException();
    }

    protected void onLayout(boolean p0, int p1, int p2, int p3, int p4) {
        throw new RuntimeException();
    }

    public void onClick(DialogInterface p0, int p1) {
        throw new RuntimeException();
    }
}
