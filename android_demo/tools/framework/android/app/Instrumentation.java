package android.app;

import android.content.Context;
import android.os.Bundle;

public class Instrumentation {
    public Instrumentation() {
        throw new RuntimeException();
    }

    public void onCreate(Bundle p0) {
        throw new RuntimeException();
    }

    public void start() {
        throw new RuntimeException();
    }

    public void onStart() {
        throw new RuntimeException();
    }

    public void sendStatus(int p0, Bundle p1) {
        throw new RuntimeException();
    }

    public void finish(int p0, Bundle p1) {
        throw new RuntimeException();
    }

    public Context getTargetContext() {
        throw new RuntimeException();
    }
}
