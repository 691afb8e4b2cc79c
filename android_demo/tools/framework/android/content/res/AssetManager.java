package android.content.res;

import java.io.IOException;
import java.io.InputStream;

public final class AssetManager implements AutoCloseable {
    AssetManager() {
        throw new RuntimeException();
    }

    public void close() {
        throw new RuntimeException();
    }

    public final InputStream open(String p0) throws IOException {
        throw new RuntimeException();
    }

    public final String[] list(String p0) throws IOException {
        throw new RuntimeException();
    }
}
