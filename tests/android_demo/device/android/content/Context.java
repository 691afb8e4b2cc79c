package android.content;

import android.content.res.Resources;
import java.io.File;

public class Context {
    public Resources getResources() {
        return new Resources();
    }

    public File getExternalFilesDir(String kind) {
        return new File(System.getProperty("folder"));
    }

    public File getFilesDir() {
        return getExternalFilesDir(null);
    }
}
