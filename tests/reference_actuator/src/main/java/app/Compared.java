package app;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** Nothing but what Spring Boot configures by itself. */
@SpringBootApplication
public class Compared {
    public static void main(String[] arguments) {
        SpringApplication.run(Compared.class, arguments);
    }
}
