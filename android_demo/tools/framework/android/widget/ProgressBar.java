package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;

public class ProgressBar extends View {
    public ProgressBar(Context p0, AttributeSet p1) {
        super(null, null);
        throw new RuntimeException();
    }

    public boolean isIndeterminate() {
        throw new RuntimeException();
    }

    public void setIndeterminate(boolean p0) {
        throw new RuntimeException();
    }

    public void setProgress(int p0) {
        throw new RuntimeException();
    }

    public int getProgress() {
        throw new RuntimeException();
    }

    public int getMax() {
        throw new RuntimeException();
    }

    public void setMax(int p0) {
        throw new RuntimeException();
    }
}
