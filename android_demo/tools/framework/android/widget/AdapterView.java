package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;
import android.view.ViewGroup;

public abstract class AdapterView<T extends Adapter> extends ViewGroup {
    public AdapterView(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    public void setOnItemSelectedListener(AdapterView.OnItemSelectedListener p0) {
        throw new RuntimeException();
    }

    public final AdapterView.OnItemSelectedListener getOnItemSelectedListener() {
        throw new RuntimeException();
    }

    public abstract T getAdapter();

    public abstract void setAdapter(T p0);

    public int getSelectedItemPosition() {
        throw new RuntimeException();
    }

    public abstract void setSelection(int p0);

    public interface OnItemSelectedListener {
        void onItemSelected(AdapterView<?> p0, View p1, int p2, long p3);

        void onNothingSelected(AdapterView<?> p0);
    }
}
