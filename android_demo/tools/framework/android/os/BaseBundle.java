package android.os;

public class BaseBundle {
    BaseBundle() {
        throw new RuntimeException();
    }

    public void putInt(String p0, int p1) {
        throw new RuntimeException();
    }

    public void putString(String p0, String p1) {
        throw new RuntimeException();
    }

    public String getString(String p0) {
        throw new RuntimeException();
    }
}
