package android.widget;

import android.content.Context;
import android.view.MenuItem;
import android.view.View;

public class PopupMenu {
    public PopupMenu(Context p0, View p1) {
        throw new RuntimeException();
    }

    public void inflate(int p0) {
        throw new RuntimeException();
    }

    public void show() {
        throw new RuntimeException();
    }

    public void setOnMenuItemClickListener(PopupMenu.OnMenuItemClickListener p0) {
        throw new RuntimeException();
    }

    public interface OnMenuItemClickListener {
        boolean onMenuItemClick(MenuItem p0);
    }
}
