package android.content;

import android.database.Cursor;
import android.net.Uri;
import java.io.FileNotFoundException;
import java.io.InputStream;

public abstract class ContentResolver {
    ContentResolver() {
        throw new RuntimeException();
    }

    public final Cursor query(Uri p0, String[] p1, String p2, String[] p3, String p4) {
        throw new RuntimeException();
    }

    public final InputStream openInputStream(Uri p0) throws FileNotFoundException {
        throw new RuntimeException();
    }
}
