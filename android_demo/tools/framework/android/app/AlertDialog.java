package android.app;

import android.content.Context;
import android.content.DialogInterface;

public class AlertDialog extends Dialog implements DialogInterface {
    AlertDialog() {
        throw new RuntimeException();
    }

    public static class Builder {
        public Builder(Context p0) {
            throw new RuntimeException();
        }

        public AlertDialog.Builder setMessage(CharSequence p0) {
            throw new RuntimeException();
        }

        public AlertDialog.Builder setPositiveButton(int p0, DialogInterface.OnClickListener p1) {
            throw new RuntimeException();
        }

        public AlertDialog.Builder setNegativeButton(int p0, DialogInterface.OnClickListener p1) {
            throw new RuntimeException();
        }

        public AlertDialog.Builder setOnCancelListener(DialogInterface.OnCancelListener p0) {
            throw new RuntimeException();
        }

        public AlertDialog show() {
            throw new RuntimeException();
        }
    }
}
