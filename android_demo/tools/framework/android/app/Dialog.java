package android.app;

import android.content.DialogInterface;

public class Dialog implements DialogInterface {
    Dialog() {
        throw new RuntimeException();
    }

    public void dismiss() {
        throw new RuntimeException();
    }

    public void setOnCancelListener(DialogInterface.OnCancelListener p0) {
        throw new RuntimeException();
    }
}
