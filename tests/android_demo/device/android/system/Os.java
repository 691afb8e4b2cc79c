package android.system;

public final class Os {
    /** The JVM was started with the variable set. */
    public static void setenv(String name, String value, boolean overwrite) {
        if (!value.equals(System.getenv(name))) {
            throw new IllegalStateException(name + " is not " + value);
        }
    }
}
