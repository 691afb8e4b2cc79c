package android.view;

import android.content.Context;
import android.os.Parcelable;
import android.util.AttributeSet;
import android.util.SparseArray;

public abstract class ViewGroup extends View {
    public ViewGroup(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    protected void dispatchFreezeSelfOnly(SparseArray<Parcelable> p0) {
        throw new RuntimeException();
    }

    protected void dispatchThawSelfOnly(SparseArray<Parcelable> p0) {
        throw new RuntimeException();
    }

    public void addView(View p0) {
        throw new RuntimeException();
    }

    public void removeViews(int p0, int p1) {
        throw new RuntimeException();
    }

    protected abstract void onLayout(boolean p0, int p1, int p2, int p3, int p4);

    public int getChildCount() {
        throw new RuntimeException();
    }

    public View getChildAt(int p0) {
        throw new RuntimeException();
    }
}
