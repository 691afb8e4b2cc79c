package android.text;

public interface TextWatcher {
    void beforeTextChanged(CharSequence p0, int p1, int p2, int p3);

    void onTextChanged(CharSequence p0, int p1, int p2, int p3);

    void afterTextChanged(Editable p0);
}
