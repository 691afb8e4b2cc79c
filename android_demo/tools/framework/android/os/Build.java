package android.os;

public class Build {
    public Build() {
        throw new RuntimeException();
    }

    public static class VERSION {
        /** Known on the device only, so no constant. */
        public static final int SDK_INT = Integer.parseInt("0");

        public VERSION() {
            throw new RuntimeException();
        }
    }

    public static class VERSION_CODES {
        public static final int O_MR1 = 27;
        public static final int R = 30;

        public VERSION_CODES() {
            throw new RuntimeException();
        }
    }
}
