package android.view.inputmethod;

import android.os.IBinder;

public final class InputMethodManager {
    InputMethodManager() {
        throw new RuntimeException();
    }

    public boolean hideSoftInputFromWindow(IBinder p0, int p1) {
        throw new RuntimeException();
    }
}
