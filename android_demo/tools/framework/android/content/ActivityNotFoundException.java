package android.content;

public class ActivityNotFoundException extends RuntimeException {
    public ActivityNotFoundException() {
        throw new RuntimeException();
    }

    public ActivityNotFoundException(String p0) {
        throw new RuntimeException();
    }
}
