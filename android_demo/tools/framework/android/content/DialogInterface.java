package android.content;

public interface DialogInterface {
    void dismiss();

    public interface OnClickListener {
        void onClick(DialogInterface p0, int p1);
    }

    public interface OnCancelListener {
        void onCancel(DialogInterface p0);
    }
}
