package android.app;

import android.content.ComponentCallbacks2;
import android.content.ContextWrapper;
import android.content.res.Configuration;

public class Application extends ContextWrapper implements ComponentCallbacks2 {
    public Application() {
        super(null);
        throw new RuntimeException();
    }

    public void onCreate() {
        throw new RuntimeException();
    }

    public void onConfigurationChanged(Configuration p0) {
        throw new RuntimeException();
    }

    public void onLowMemory() {
        throw new RuntimeException();
    }

    public void onTrimMemory(int p0) {
        throw new RuntimeException();
    }
}
