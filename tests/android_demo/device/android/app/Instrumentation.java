package android.app;

import android.content.Context;
import android.os.Bundle;

public class Instrumentation {
    public void onCreate(Bundle arguments) {}

    public void onStart() {}

    public void start() {
        onStart();
    }

    public void sendStatus(int code, Bundle status) {
        System.out.println("status " + code + " " + status);
    }

    public void finish(int code, Bundle result) {
        System.out.println("finished " + code + " " + result);
    }

    public Context getTargetContext() {
        return new Context();
    }
}
